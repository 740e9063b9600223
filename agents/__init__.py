"""What runs on a unit of a Synod cluster: the agent, the bring-up, and the formats they share with
the controller.
"""

__version__ = "0.1.0"
