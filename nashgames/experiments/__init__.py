"""What was asked, the runs it stands for, and playing them."""
