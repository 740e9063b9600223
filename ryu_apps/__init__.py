"""The app: a thin Ryu shell (`load_balancer`, `openflow`, `api`) around a core that knows nothing
of Ryu (`core`).
"""
