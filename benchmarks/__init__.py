"""Rule: measures the project, and is used by no other part of it; run.py, scaling.py and timnet.py are the scripts."""
