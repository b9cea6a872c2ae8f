from virtwatch_agent.collect.libvirt.debounce import IoErrors, Reboots


def test_the_repeats_of_one_reboot_are_said_once():
    reboots = Reboots()
    assert [reboots.received("a", at) for at in (100.0, 100.2, 100.6)] == [True, False, False]


def test_a_reboot_later_is_one_of_its_own():
    reboots = Reboots()
    assert [reboots.received("a", at) for at in (100.0, 100.5, 110.0)] == [True, False, True]


def test_two_vms_reboot_each_for_itself():
    reboots = Reboots()
    assert reboots.received("a", 100.0)
    assert reboots.received("b", 100.0)


def received(errors: IoErrors, *, device: str = "vda", action: str = "pause", at: float = 100.0) -> bool:
    return errors.received("a", device=device, action=action, at=at)


def test_an_error_that_was_heard_is_not_inferred_from_its_pause():
    errors = IoErrors()
    assert received(errors)
    assert not errors.paused("a", 100.5)


def test_an_error_that_was_not_heard_is_inferred_once():
    errors = IoErrors()
    assert errors.paused("a", 100.5)
    assert not errors.paused("a", 101.0)


def test_an_error_that_is_heard_after_it_was_inferred_is_the_same_error():
    errors = IoErrors()
    errors.paused("a", 100.5)
    assert not received(errors, at=101.0)


def test_requests_in_flight_that_fail_with_the_first_are_the_same_error():
    errors = IoErrors()
    assert [received(errors, at=at) for at in (100.0, 100.0, 100.1)] == [True, False, False]


def test_another_disk_fails_for_itself():
    errors = IoErrors()
    assert received(errors)
    assert received(errors, device="vdb")


def test_after_the_vm_ran_again_the_next_error_is_a_new_one():
    errors = IoErrors()
    received(errors)
    errors.ended("a")
    assert received(errors, at=160.0)


def test_errors_that_the_guest_is_told_are_said_at_a_bounded_pace():
    errors = IoErrors()
    said = [received(errors, action="report", at=100 + n / 10) for n in range(50)]
    assert 4 <= sum(said) <= 6
