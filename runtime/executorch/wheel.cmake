# ExecuTorch of its Python package.
set(BITSR_EXECUTORCH_DIR "" CACHE PATH "The installed Python package executorch (site-packages/executorch)")
if(NOT BITSR_EXECUTORCH_DIR)
  find_package(Python REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -I -c
            "import importlib.util as u; print(u.find_spec('executorch').submodule_search_locations[0])"
    OUTPUT_VARIABLE found
    RESULT_VARIABLE failed
    ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(failed)
    message(FATAL_ERROR "bitsr: ${Python_EXECUTABLE} has no package executorch. Install it, or pass "
                        "-DBITSR_EXECUTORCH_DIR=<site-packages>/executorch, or build with -DBITSR_EXECUTORCH=OFF.")
  endif()
  set_property(CACHE BITSR_EXECUTORCH_DIR PROPERTY VALUE "${found}")
endif()

foreach(needed include/executorch/runtime/backend/interface.h lib/libexecutorch.so lib/libexecutorch_threadpool.so)
  if(NOT EXISTS "${BITSR_EXECUTORCH_DIR}/${needed}")
    message(FATAL_ERROR "bitsr: BITSR_EXECUTORCH_DIR is '${BITSR_EXECUTORCH_DIR}', which has no ${needed}. "
                        "Expected the folder of the installed Python package executorch 1.5 or later.")
  endif()
endforeach()

set(BITSR_EXECUTORCH_LIB "${BITSR_EXECUTORCH_DIR}/lib")
target_include_directories(
  bitsr_executorch_runtime SYSTEM
  INTERFACE "${BITSR_EXECUTORCH_DIR}/include"
            "${BITSR_EXECUTORCH_DIR}/include/executorch/runtime/core/portable_type/c10")
target_link_libraries(bitsr_executorch_runtime INTERFACE "${BITSR_EXECUTORCH_LIB}/libexecutorch.so"
                                                         "${BITSR_EXECUTORCH_LIB}/libexecutorch_threadpool.so")
target_link_libraries(
  bitsr_executorch_all
  INTERFACE bitsr_executorch_runtime "-Wl,--no-as-needed" "${BITSR_EXECUTORCH_LIB}/libexecutorch_kernels_optimized.so"
            "${BITSR_EXECUTORCH_LIB}/libexecutorch_backend_xnnpack.so")
