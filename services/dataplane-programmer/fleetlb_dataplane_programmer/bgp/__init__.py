"""VIPs announced by BGP, through a BIRD that runs on the node anyway: it gets two files to include, and is asked by its
control socket to read them. No speaker of our own: sessions must outlive this process.

configuring and reading decide (pure); control and files do; speaking joins them.
"""
