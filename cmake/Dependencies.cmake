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

if(NOT TARGET duramen::zstd)
  find_library(DURAMEN_ZSTD_LIBRARY zstd)
  if(NOT DURAMEN_ZSTD_LIBRARY)
    message(FATAL_ERROR "libzstd is missing: apt-get install libzstd-dev")
  endif()
  add_library(duramen::zstd UNKNOWN IMPORTED)
  set_target_properties(duramen::zstd PROPERTIES IMPORTED_LOCATION "${DURAMEN_ZSTD_LIBRARY}")
  mark_as_advanced(DURAMEN_ZSTD_LIBRARY)
endif()

# Optional: without it direct writes go through a few threads.
if(NOT TARGET duramen::uring)
  find_library(DURAMEN_URING_LIBRARY uring)
  find_path(DURAMEN_URING_INCLUDE liburing.h)
  if(DURAMEN_URING_LIBRARY AND DURAMEN_URING_INCLUDE)
    add_library(duramen::uring UNKNOWN IMPORTED)
    set_target_properties(duramen::uring PROPERTIES IMPORTED_LOCATION "${DURAMEN_URING_LIBRARY}"
      INTERFACE_SYSTEM_INCLUDE_DIRECTORIES "${DURAMEN_URING_INCLUDE}")
  endif()
  mark_as_advanced(DURAMEN_URING_LIBRARY DURAMEN_URING_INCLUDE)
endif()
