from fleetlb_cli.tenants.joining import told


def test_it_says_how_to_install_until_when_and_that_the_file_is_a_secret() -> None:
    lines = told("acme.yaml", 1_800_000_000).splitlines()
    assert [line for line in lines if line.startswith("kubectl")] == lines[:2]
    assert (
        lines[2]
        == "The credentials in acme.yaml can be used to join until 2027-01-15T08:00:00Z, unless revoked before."
    )
    assert "is a secret" in lines[3]
    assert "for ever, unless they are revoked" in told("acme.yaml", None)
