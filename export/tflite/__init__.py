"""Export to .tflite: torch -> ONNX with our ops -> onnx2tf with our plug-ins -> TensorFlow Lite converter."""
