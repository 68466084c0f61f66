"""Rule: knows no config, no TensorFlow and no module of the top level; pure functions and small tools."""
