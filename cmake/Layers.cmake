# How a layer, a test and a benchmark are built. The only place that knows compiler flags.
#
#   lowrank_layer(NAME [SHARED] HEADERS h... SOURCES s... [DEPENDS target...] [PRIVATE_DEPENDS target...])
#       lowrank_NAME with the alias lowrank::NAME, its public header set and its install rule.
#   lowrank_isa(NAME LEVEL SOURCE)
#       SOURCE of layer NAME, compiled for the instructions of a CPU level (base/cpu_level.h).
#   lowrank_test(LAYER UNIT [DEPENDS target...])
#       tests/LAYER/UNIT_test.cpp as the program LAYER_UNIT_test, registered with ctest under the label LAYER.
#   lowrank_bench(UNIT [DEPENDS target...])
#       bench/UNIT_bench.cpp as the program UNIT_bench.
#
# A target that links LibTorch shares one precompiled header, made once by lowrank_precompiled.
#
#   lowrank_without_torch(SOURCE...)
#       Sources of such targets that include nothing of LibTorch. To load that header takes 4 seconds and 0.8 GB.

set(LOWRANK_LAYERS "" CACHE INTERNAL "")

# What every test runs with. A sanitizer's finding ends the test; undefined behavior alone would only be printed.
set(LOWRANK_TEST_ENVIRONMENT "LOWRANK_SHARED=${PROJECT_SOURCE_DIR}/../shared" OMP_WAIT_POLICY=passive)
if(LOWRANK_SANITIZER MATCHES "^(address|fuzzer)$")
  list(APPEND LOWRANK_TEST_ENVIRONMENT
    UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    ASAN_OPTIONS=detect_stack_use_after_return=1:check_initialization_order=1:strict_string_checks=1)
elseif(LOWRANK_SANITIZER STREQUAL "thread")
  # LibTorch is not instrumented: what two of its own threads do to each other would look like a race. Two threads
  # show any race between threads, on a machine with one core or with a hundred.
  list(APPEND LOWRANK_TEST_ENVIRONMENT TSAN_OPTIONS=ignore_noninstrumented_modules=1 OMP_NUM_THREADS=2)
endif()

function(lowrank_flags target)
  if(LOWRANK_DEVELOPER_MODE)
    # GCC 12 warns of overlap in std::string's own operator+ (its bug 105651), GCC 13 of a copy out of bounds in
    # std::vector<bool>::reserve, where LibTorch's headers call it.
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wconversion -Werror
      $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds>
      $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>)
  endif()
  if(NOT LOWRANK_SANITIZER STREQUAL "none")
    # GCC's manual: in instrumented code this warning has false positives.
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  endif()
  if(LOWRANK_CCACHE)
    target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  endif()
  if(LOWRANK_SANITIZER STREQUAL "address")
    target_compile_options(${target} PRIVATE -fsanitize=address,undefined -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE -fsanitize=address,undefined)
  elseif(LOWRANK_SANITIZER STREQUAL "fuzzer")
    # no-link: only the fuzzing programs take libFuzzer's main. UndefinedBehaviorSanitizer alone would go on.
    set(flags -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
    target_compile_options(${target} PRIVATE ${flags} -fno-omit-frame-pointer)
    target_link_options(${target} PRIVATE ${flags})
  elseif(LOWRANK_SANITIZER STREQUAL "thread")
    # ThreadSanitizer does not follow fences; LibTorch's headers have one.
    target_compile_options(${target} PRIVATE -fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
    target_link_options(${target} PRIVATE -fsanitize=thread)
  endif()
endfunction()

# The precompiled header of all torch code: 15 seconds once instead of in every file.
function(lowrank_precompile target)
  if(NOT TARGET lowrank_precompiled)
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/precompiled.cpp"  # unlike WRITE, leaves an equal file alone
         CONTENT "// Exists to own the precompiled header.\n")
    add_library(lowrank_precompiled OBJECT "${PROJECT_BINARY_DIR}/precompiled.cpp")
    target_link_libraries(lowrank_precompiled PRIVATE lowrank::torch)
    target_precompile_headers(lowrank_precompiled PRIVATE
      <algorithm> <cmath> <cstdint> <filesystem> <fstream> <functional> <map> <memory> <optional>
      <string> <string_view> <variant> <vector>
      <ATen/ATen.h> <ATen/Parallel.h> <torch/library.h> <torch/csrc/autograd/custom_function.h>
      <torch/nn/module.h> <torch/nn/pimpl.h> <torch/nn/modules/linear.h>
      <torch/nn/modules/normalization.h> <torch/nn/modules/embedding.h>
      <torch/nn/modules/container/modulelist.h>)
    lowrank_flags(lowrank_precompiled)
  endif()
  target_precompile_headers(${target} REUSE_FROM lowrank_precompiled)
endfunction()

function(lowrank_without_torch)
  set_source_files_properties(${ARGN} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()

# Whether a target links LibTorch, directly or through a layer.
function(lowrank_uses_torch result)
  set(${result} FALSE PARENT_SCOPE)
  foreach(dependency ${ARGN})
    if(dependency STREQUAL "lowrank::torch")
      set(${result} TRUE PARENT_SCOPE)
    elseif(TARGET ${dependency})
      get_target_property(torch ${dependency} LOWRANK_USES_TORCH)
      if(torch)
        set(${result} TRUE PARENT_SCOPE)
      endif()
    endif()
  endforeach()
endfunction()

# LibTorch's headers bring their own fmt, which the system's library does not fit: such a target takes fmt from
# headers alone.
function(lowrank_fitting_fmt dependencies)
  lowrank_uses_torch(torch ${ARGN})
  if(torch)
    list(TRANSFORM ${dependencies} REPLACE "^fmt::fmt$" fmt::fmt-header-only)
    set(${dependencies} ${${dependencies}} PARENT_SCOPE)
  endif()
endfunction()

function(lowrank_layer name)
  cmake_parse_arguments(ARG "SHARED" "" "HEADERS;SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  lowrank_fitting_fmt(ARG_PRIVATE_DEPENDS ${ARG_DEPENDS} ${ARG_PRIVATE_DEPENDS})
  set(target lowrank_${name})
  if(ARG_SHARED)
    add_library(${target} SHARED)
    set_target_properties(${target} PROPERTIES DEFINE_SYMBOL "")
  else()
    add_library(${target} STATIC)
  endif()
  add_library(lowrank::${name} ALIAS ${target})
  target_sources(${target}
    PRIVATE ${ARG_SOURCES}
    PUBLIC FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}" FILES ${ARG_HEADERS})
  target_link_libraries(${target} PUBLIC ${ARG_DEPENDS} PRIVATE ${ARG_PRIVATE_DEPENDS})
  lowrank_flags(${target})
  lowrank_uses_torch(torch ${ARG_DEPENDS} ${ARG_PRIVATE_DEPENDS})
  set_target_properties(${target} PROPERTIES
    LOWRANK_USES_TORCH ${torch} EXPORT_NAME ${name}
    VERIFY_INTERFACE_HEADER_SETS ${LOWRANK_DEVELOPER_MODE}
    INSTALL_RPATH "$ORIGIN;${LOWRANK_TORCH_LIBRARIES}")
  if(torch)
    lowrank_precompile(${target})
  endif()
  set(LOWRANK_LAYERS ${LOWRANK_LAYERS} ${target} CACHE INTERNAL "")
endfunction()

# Such a file must define nothing that other files define too: a copy of an inline function with these instructions in
# it could take the place of the portable one. tests/kernels checks it.
set(LOWRANK_ISA_scalar "")
set(LOWRANK_ISA_avx2 -mavx2 -mfma)
set(LOWRANK_ISA_avx512 ${LOWRANK_ISA_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set(LOWRANK_ISA_avx512_bf16 ${LOWRANK_ISA_avx512} -mavx512bf16)
set(LOWRANK_ISA_amx ${LOWRANK_ISA_avx512_bf16} -mamx-tile -mamx-bf16)

function(lowrank_isa name level source)
  target_sources(lowrank_${name} PRIVATE ${source})
  # GCC 12 takes its own header's deliberately undefined registers for mistakes (its bug 105593).
  # Without exceptions: what they need would be a symbol that other files define too.
  set(options -O3 -fno-exceptions $<$<CXX_COMPILER_ID:GNU>:-Wno-uninitialized> $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND options ${LOWRANK_ISA_${level}})
  endif()
  if(LOWRANK_SANITIZER STREQUAL "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The stack frames that AddressSanitizer puts on the heap are not aligned for registers of 64 bytes (GCC bug 110027).
    list(APPEND options --param asan-use-after-return=0)
  endif()
  set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
endfunction()

function(lowrank_program target)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  lowrank_fitting_fmt(ARG_DEPENDS ${ARG_DEPENDS})
  add_executable(${target} ${ARG_SOURCES})
  target_link_libraries(${target} PRIVATE ${ARG_DEPENDS})
  lowrank_flags(${target})
  lowrank_uses_torch(torch ${ARG_DEPENDS})
  if(torch)
    target_compile_options(${target} PRIVATE -fPIC)  # as the precompiled header was
    lowrank_precompile(${target})
  endif()
endfunction()

function(lowrank_test layer unit)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  set(target ${layer}_${unit}_test)
  lowrank_program(${target} SOURCES "${PROJECT_SOURCE_DIR}/tests/${layer}/${unit}_test.cpp"
                  DEPENDS ${ARG_DEPENDS} GTest::gmock GTest::gtest_main)
  if(LOWRANK_SANITIZER STREQUAL "thread")
    target_link_libraries(${target} PRIVATE openmp_under_tsan)
  endif()
  add_test(NAME ${layer}.${unit} COMMAND ${target} --gtest_brief=1)
  set_tests_properties(${layer}.${unit} PROPERTIES LABELS ${layer} TIMEOUT 600
                       ENVIRONMENT "${LOWRANK_TEST_ENVIRONMENT}")
endfunction()

function(lowrank_bench unit)
  cmake_parse_arguments(ARG "" "" "DEPENDS" ${ARGN})
  lowrank_program(${unit}_bench SOURCES "${PROJECT_SOURCE_DIR}/bench/${unit}_bench.cpp"
                  DEPENDS ${ARG_DEPENDS} benchmark::benchmark)
endfunction()
