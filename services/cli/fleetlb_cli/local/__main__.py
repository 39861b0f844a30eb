"""`python -m fleetlb_cli.local`, as `fleetlb local`."""

from fleetlb_cli.local.commands import app

if __name__ == "__main__":
    app()
