"""What fine-tuning costs: memory and time on your own GPU, prices of hosted services, break-even."""
