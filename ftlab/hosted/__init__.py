"""Fine-tuning at six hosted services, through each one's own SDK: prepare, estimate, submit, watch, evaluate, clean up."""
