"""What `tamis.llama_index` is made of."""
