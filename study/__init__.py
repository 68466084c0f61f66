"""Rule: runs a study; imports downwards only (ser, features, model, data_preprocessing), never config or a script."""
