"""What policy gradients are made of: feedback, policies, optimisers, the gradient itself."""
