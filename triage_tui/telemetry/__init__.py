"""What the product says about itself and about the machine it runs on."""
