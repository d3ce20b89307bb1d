# Finds LibTorch: Torch_DIR or CMAKE_PREFIX_PATH if the caller set one, else the torch package of a Python.
# Tried in this order: $LOWRANK_PYTHON, the environment that tools/setup.sh made, python3 on the PATH.
if(NOT Torch_DIR)
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
    if(EXISTS "${torch_folder}/share/cmake/Torch/TorchConfig.cmake")
      list(APPEND CMAKE_PREFIX_PATH "${torch_folder}")
      set(LOWRANK_PYTHON_EXECUTABLE "${executable}" CACHE STRING "The Python whose torch is used, for tests" FORCE)
      break()
    endif()
  endforeach()
endif()
find_package(Torch QUIET)
if(NOT Torch_FOUND)
  message(FATAL_ERROR "LibTorch was not found. Run tools/setup.sh, or set CMAKE_PREFIX_PATH to an installed LibTorch.")
endif()
if(Torch_VERSION VERSION_LESS 2.9)
  message(FATAL_ERROR "LibTorch ${Torch_VERSION} is too old; 2.9 or newer is needed. Run tools/setup.sh.")
endif()

# LibTorch's at::parallel_for is a template that runs on one thread unless it is compiled with OpenMP, as the wheel
# itself was.
find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(FATAL_ERROR "The compiler has no OpenMP, without which every operator would run on one thread. Use g++, or install libomp-dev for clang.")
endif()

# Without libtorch_python and without Caffe2's warning flags: what a C++ program links.
if(NOT TARGET lowrank::torch)
  add_library(lowrank_torch INTERFACE IMPORTED GLOBAL)
  add_library(lowrank::torch ALIAS lowrank_torch)
  target_include_directories(lowrank_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  target_link_libraries(lowrank_torch INTERFACE torch OpenMP::OpenMP_CXX)
endif()
list(GET TORCH_INCLUDE_DIRS 0 torch_include)
cmake_path(GET torch_include PARENT_PATH LOWRANK_TORCH_FOLDER)
set(LOWRANK_TORCH_LIBRARIES "${LOWRANK_TORCH_FOLDER}/lib")
