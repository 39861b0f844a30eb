from fleetlb_manager.marking import StatusKey


def test_a_status_is_named_by_kind_and_name() -> None:
    assert str(StatusKey("pool", "default")) == "pool/default"
