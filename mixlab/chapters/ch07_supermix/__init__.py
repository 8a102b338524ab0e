"""What only the chapter on SuperMix and distillation needs."""
