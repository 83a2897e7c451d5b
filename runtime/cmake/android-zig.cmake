# Cross build for Android (API 26) where there is no NDK: zig's compiler with the tools of runtime/android/sysroot.py.
# Give -DANDROID_ABI=arm64-v8a or x86_64, and -DBITSR_ANDROID_TOOLS=folder of the tools.
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES ANDROID_ABI BITSR_ANDROID_TOOLS)
set(CMAKE_SYSTEM_NAME Android)
set(CMAKE_SYSTEM_VERSION 1)  # with another one CMake looks for an NDK
set(ANDROID ON)
if(ANDROID_ABI STREQUAL "arm64-v8a")
  set(CMAKE_SYSTEM_PROCESSOR aarch64)
elseif(ANDROID_ABI STREQUAL "x86_64")
  set(CMAKE_SYSTEM_PROCESSOR x86_64)
else()
  message(FATAL_ERROR "bitsr: ANDROID_ABI is '${ANDROID_ABI}', expected arm64-v8a or x86_64")
endif()
if(NOT EXISTS "${BITSR_ANDROID_TOOLS}/${CMAKE_SYSTEM_PROCESSOR}-c++")
  message(FATAL_ERROR "bitsr: BITSR_ANDROID_TOOLS is '${BITSR_ANDROID_TOOLS}', which has no ${CMAKE_SYSTEM_PROCESSOR}-c++; "
                      "run: make android-runner")
endif()
set(CMAKE_CXX_COMPILER "${BITSR_ANDROID_TOOLS}/${CMAKE_SYSTEM_PROCESSOR}-c++")
set(CMAKE_AR "${BITSR_ANDROID_TOOLS}/ar" CACHE FILEPATH "")
set(CMAKE_RANLIB "${BITSR_ANDROID_TOOLS}/ranlib" CACHE FILEPATH "")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE NEVER)
