"""Both networks as ONNX files, so that they run without torch and mmpose."""
