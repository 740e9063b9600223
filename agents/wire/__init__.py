"""Bytes to values and back, one module per format, encode beside decode. Nothing here opens, reads
or waits.
"""
