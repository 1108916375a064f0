"""What `run.py` is made of: the questions, the peers, the server under test, the table."""
