"""embedding -> recurrent layers -> pooling -> logits."""
