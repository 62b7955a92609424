"""The Ray that work runs on."""
