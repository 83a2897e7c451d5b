# A wheel carries the .tflite of the embedded weights, which git does not keep.
file(GLOB weights "${CMAKE_CURRENT_LIST_DIR}/../../training/weights/*.safetensors")
foreach(path ${weights})
  get_filename_component(name "${path}" NAME_WE)
  if(NOT EXISTS "${CMAKE_CURRENT_LIST_DIR}/../../bitsr/pretrained/${name}.tflite")
    message(FATAL_ERROR "bitsr: a wheel needs bitsr/pretrained/${name}.tflite, which is missing; make it with: make artifacts")
  endif()
endforeach()
