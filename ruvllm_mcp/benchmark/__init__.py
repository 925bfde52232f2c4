"""Measurements of the installed package on data of your own."""
