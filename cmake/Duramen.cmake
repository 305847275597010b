# How every target of the project is compiled, and how a folder becomes a library.

include(${CMAKE_CURRENT_LIST_DIR}/Dependencies.cmake)

# Flags of our own targets; nothing of it reaches those who link the installed package.
add_library(duramen_flags INTERFACE)
target_include_directories(duramen_flags INTERFACE
  $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}/include>)
target_compile_options(duramen_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Wno-missing-field-initializers  # designated initialisers leave the rest to its default
  -fvisibility=hidden -fno-omit-frame-pointer)
if(DURAMEN_WERROR)
  target_compile_options(duramen_flags INTERFACE -Werror)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # What its optimiser suspects inside its own std::string, vector and variant is false (GCC bugs
  # 105651, 105329, 105562); Clang and the sanitizers look for the true ones.
  target_compile_options(duramen_flags INTERFACE -Wno-restrict -Wno-array-bounds
    -Wno-stringop-overflow -Wno-stringop-overread -Wno-maybe-uninitialized)
endif()
if(DURAMEN_PLANTED_BUGS)
  target_compile_definitions(duramen_flags INTERFACE DURAMEN_PLANTED_BUGS)
endif()
if(DURAMEN_SANITIZE)
  target_compile_options(duramen_flags INTERFACE -fsanitize=${DURAMEN_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(duramen_flags INTERFACE -fsanitize=${DURAMEN_SANITIZE})
endif()

# What most files include, read once: a quarter of what Clang takes; GCC gains nothing. Not where it
# matters that a file includes what it uses: the dev preset is without.
if(DURAMEN_PRECOMPILE)
  file(CONFIGURE OUTPUT common_header.cc CONTENT "// Its headers alone.\n")
  add_library(duramen_common_header OBJECT ${CMAKE_CURRENT_BINARY_DIR}/common_header.cc)
  set_target_properties(duramen_common_header PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(duramen_common_header PRIVATE duramen_flags)
  target_precompile_headers(duramen_common_header PRIVATE
    <algorithm> <array> <atomic> <charconv> <chrono> <condition_variable> <cstring> <deque> <list>
    <map> <mutex> <set> <sstream> <thread> <unordered_map>
    <duramen/log_store.h> <duramen/machine.h> <duramen/system.h>)
endif()
function(duramen_precompiled target)
  if(DURAMEN_PRECOMPILE)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    target_precompile_headers(${target} REUSE_FROM duramen_common_header)
  endif()
endfunction()

# duramen_library(NAME SOURCES... [LINKS targets...]): one library per folder; LINKS are the arrows,
# and tests/tidy holds them against its table. INTERNAL: it is not installed.
function(duramen_library name)
  cmake_parse_arguments(arg "INTERNAL" "" "SOURCES;LINKS" ${ARGN})
  add_library(duramen_${name} STATIC ${arg_SOURCES})
  set_target_properties(duramen_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME ${name})
  target_link_libraries(duramen_${name} PRIVATE $<BUILD_INTERFACE:duramen_flags>)
  duramen_precompiled(duramen_${name})
  foreach(link IN LISTS arg_LINKS)
    target_link_libraries(duramen_${name} PUBLIC duramen_${link})
  endforeach()
  if(NOT arg_INTERNAL)
    set_property(GLOBAL APPEND PROPERTY DURAMEN_LIBRARIES duramen_${name})
  endif()
endfunction()
