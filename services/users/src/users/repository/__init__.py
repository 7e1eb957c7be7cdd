"""All SQL of users, by noun. Functions take a Reader or a Transaction and return frozen records."""
