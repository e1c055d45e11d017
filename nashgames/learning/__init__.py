"""The parts of policy gradients: feedback, policies, optimisers, and the gradient itself."""
