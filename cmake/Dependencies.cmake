# What the libraries link, as targets. Read by this build and, installed beside duramenConfig.cmake,
# by every project that finds the package: the two cannot drift apart.

find_package(Threads REQUIRED)

if(NOT TARGET duramen::xxhash)
  find_library(DURAMEN_XXHASH_LIBRARY xxhash)
  if(NOT DURAMEN_XXHASH_LIBRARY)
    message(FATAL_ERROR "libxxhash is missing: apt-get install libxxhash-dev")
  endif()
  add_library(duramen::xxhash UNKNOWN IMPORTED)
  set_target_properties(duramen::xxhash PROPERTIES IMPORTED_LOCATION "${DURAMEN_XXHASH_LIBRARY}")
  mark_as_advanced(DURAMEN_XXHASH_LIBRARY)
endif()
