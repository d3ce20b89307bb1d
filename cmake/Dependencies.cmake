# Every library the project stands on. docs/architecture.md says what each is for.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(fmt REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(icu REQUIRED IMPORTED_TARGET icu-uc icu-i18n)
pkg_check_modules(sentencepiece REQUIRED IMPORTED_TARGET sentencepiece)
pkg_check_modules(lzma REQUIRED IMPORTED_TARGET liblzma)
pkg_check_modules(zlib REQUIRED IMPORTED_TARGET zlib)
find_path(LOWRANK_PROTOZERO_INCLUDE protozero/pbf_writer.hpp REQUIRED)
find_path(LOWRANK_LINEAR_INCLUDE linear.h PATH_SUFFIXES liblinear REQUIRED)
find_library(LOWRANK_LINEAR_LIBRARY linear REQUIRED)
include(LibTorch)

if(LOWRANK_DEVELOPER_MODE)
  find_package(GTest REQUIRED)
  find_package(benchmark REQUIRED)
endif()

# ccache, where it is installed: with precompiled headers it must be told not to compare their times.
find_program(LOWRANK_CCACHE ccache)
if(LOWRANK_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      "CCACHE_BASEDIR=${PROJECT_SOURCE_DIR}" CCACHE_NOHASHDIR=1 ${LOWRANK_CCACHE})
endif()
