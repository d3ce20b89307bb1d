# Finds LibTorch and makes the target lowrank::torch: what a C++ program links, without libtorch_python.
#
# CMAKE_PREFIX_PATH or Torch_DIR come first, where the caller set one; then the torch package of $LOWRANK_PYTHON, of the
# environment that tools/setup.sh made, of python3 on the PATH.
#
# LibTorch's own find_package(Torch) would ask for the CUDA toolkit wherever LibTorch was built with CUDA, as the wheel
# of `pip install torch` is on Linux; it also sets warning flags. A program needs neither.
if(Torch_DIR)
  list(APPEND CMAKE_PREFIX_PATH "${Torch_DIR}/../../..")
endif()
set(torch_version_header torch/csrc/api/include/torch/version.h)
find_path(LOWRANK_TORCH_INCLUDE ${torch_version_header} NO_CACHE)
if(NOT LOWRANK_TORCH_INCLUDE)
  foreach(python "$ENV{LOWRANK_PYTHON}" "${PROJECT_SOURCE_DIR}/build/venv/bin/python" python3)
    if(python STREQUAL "")
      continue()
    endif()
    # sys.executable is absolute, whatever way the name was given: tests run in other folders.
    execute_process(
      COMMAND "${python}" -c "import importlib.util as u, sys; print(u.find_spec('torch').submodule_search_locations[0], sys.executable, sep=';')"
      WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}"
      OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE status ERROR_QUIET)
    if(NOT status EQUAL 0)
      continue()
    endif()
    list(GET found 0 torch_folder)
    list(GET found 1 executable)
    if(EXISTS "${torch_folder}/include/${torch_version_header}")
      set(LOWRANK_TORCH_INCLUDE "${torch_folder}/include")
      set(LOWRANK_PYTHON_EXECUTABLE "${executable}" CACHE STRING "The Python whose torch is used, for tests" FORCE)
      break()
    endif()
  endforeach()
endif()
if(NOT LOWRANK_TORCH_INCLUDE)
  message(FATAL_ERROR "LibTorch 2.9 or newer was not found. Run tools/setup.sh, or set CMAKE_PREFIX_PATH to an installed LibTorch.")
endif()
get_filename_component(LOWRANK_TORCH_FOLDER "${LOWRANK_TORCH_INCLUDE}/.." ABSOLUTE)
set(LOWRANK_TORCH_LIBRARIES "${LOWRANK_TORCH_FOLDER}/lib")

# The numbers moved to the second file, which the first includes.
foreach(header ${torch_version_header} torch/headeronly/version.h)
  if(EXISTS "${LOWRANK_TORCH_INCLUDE}/${header}")
    file(STRINGS "${LOWRANK_TORCH_INCLUDE}/${header}" lines REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
    list(APPEND version_lines ${lines})
  endif()
endforeach()
list(TRANSFORM version_lines REPLACE "[^0-9]+" "")
list(JOIN version_lines "." Torch_VERSION)
if(Torch_VERSION VERSION_LESS 2.9)
  message(FATAL_ERROR "LibTorch ${Torch_VERSION} in ${LOWRANK_TORCH_FOLDER} is too old; 2.9 or newer is needed. Run tools/setup.sh.")
endif()
if(LOWRANK_REQUIRE_CUDA AND NOT EXISTS "${LOWRANK_TORCH_LIBRARIES}/libtorch_cuda.so")
  message(FATAL_ERROR "LibTorch in ${LOWRANK_TORCH_FOLDER} was built without CUDA, which the preset cuda asks for. Set LOWRANK_PYTHON to a Python whose torch has it.")
endif()

# LibTorch's at::parallel_for is a template that runs on one thread unless it is compiled with OpenMP, as the wheel
# itself was.
find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(FATAL_ERROR "The compiler has no OpenMP, without which every operator would run on one thread. Use g++, or install libomp-dev for clang.")
endif()

if(NOT TARGET lowrank::torch)
  add_library(lowrank_torch INTERFACE IMPORTED GLOBAL)
  add_library(lowrank::torch ALIAS lowrank_torch)
  target_include_directories(lowrank_torch SYSTEM INTERFACE
    "${LOWRANK_TORCH_INCLUDE}" "${LOWRANK_TORCH_INCLUDE}/torch/csrc/api/include")
  # libtorch.so has no symbols of its own: it brings the libraries of each device that LibTorch was built for.
  target_link_libraries(lowrank_torch INTERFACE
    "${LOWRANK_TORCH_LIBRARIES}/libtorch_cpu.so" "${LOWRANK_TORCH_LIBRARIES}/libc10.so"
    "-Wl,--no-as-needed,${LOWRANK_TORCH_LIBRARIES}/libtorch.so,--as-needed")
  # The flag and not the library's path: at run time LibTorch's own copy is the one to take.
  target_compile_options(lowrank_torch INTERFACE ${OpenMP_CXX_FLAGS})
  target_link_options(lowrank_torch INTERFACE ${OpenMP_CXX_FLAGS})
endif()
