# `cmake --install` and find_package(lowrank): libraries, headers, the program and the package file.
include(CMakePackageConfigHelpers)
foreach(layer ${LOWRANK_LAYERS})
  install(TARGETS ${layer} EXPORT lowrank
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
          FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()
install(EXPORT lowrank NAMESPACE lowrank:: FILE lowrank-targets.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lowrank)
configure_package_config_file(cmake/lowrank-config.cmake.in "${PROJECT_BINARY_DIR}/lowrank-config.cmake"
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lowrank)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/lowrank-config-version.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/lowrank-config.cmake" "${PROJECT_BINARY_DIR}/lowrank-config-version.cmake"
              cmake/LibTorch.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lowrank)
