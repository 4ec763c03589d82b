"""Fine-tuning at six hosted services, through each one's own SDK: from the files to the verdict."""
