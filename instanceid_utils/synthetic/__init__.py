"""Generated video: articulated bodies, solid textures, a camera, and the truth about each pixel.

Data flows one way: ``colours`` -> ``materials`` -> ``bodies`` -> ``render`` -> ``optics`` ->
``scenes`` -> ``dataset`` (a folder in the DAVIS 2017 layout) and ``tracklets`` (crops for
training). Everything is a pure function of a seed.
"""
