# `cmake --install`: the public headers, the static libraries, the binary, and the CMake package
# `duramen` with one target to link: duramen::duramen.

include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

add_library(duramen_embed INTERFACE)
add_library(duramen::duramen ALIAS duramen_embed)
set_target_properties(duramen_embed PROPERTIES EXPORT_NAME duramen)
target_compile_features(duramen_embed INTERFACE cxx_std_20)
target_include_directories(duramen_embed INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(duramen_embed INTERFACE duramen_shm duramen_server)

if(DURAMEN_PLANTED_BUGS)
  install(CODE "message(FATAL_ERROR \"this build has planted bugs compiled in; install preset release\")")
endif()

set(duramen_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/duramen)
get_property(duramen_libraries GLOBAL PROPERTY DURAMEN_LIBRARIES)
install(TARGETS duramen_embed ${duramen_libraries} EXPORT duramenTargets
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/duramen DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(EXPORT duramenTargets NAMESPACE duramen:: DESTINATION ${duramen_package_dir})
if(TARGET duramen)
  install(PROGRAMS $<TARGET_FILE:duramen> DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
# Units for the shared WAL process, where a service manager that reads them looks.
configure_file(packaging/duramen-wal.service.in ${CMAKE_CURRENT_BINARY_DIR}/duramen-wal.service @ONLY)
install(FILES packaging/duramen-wal.socket ${CMAKE_CURRENT_BINARY_DIR}/duramen-wal.service
        DESTINATION lib/systemd/system)
install(FILES packaging/duramen.sysusers DESTINATION lib/sysusers.d RENAME duramen.conf)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(cmake/duramenConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/duramenConfig.cmake INSTALL_DESTINATION ${duramen_package_dir})
# Before 1.0 a minor release may change the API.
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/duramenConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/duramenConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/duramenConfigVersion.cmake
        DESTINATION ${duramen_package_dir})
install(FILES cmake/Dependencies.cmake DESTINATION ${duramen_package_dir}
        RENAME duramenDependencies.cmake)
