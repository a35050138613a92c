"""Long work in steps: it yields to other tasks, and returns its result at the end."""

import asyncio

from exporter.turns import Steps, at_once, in_turns


def steps(done: list[str]) -> Steps[str]:
    for number in range(3):
        done.append(f"step {number}")
        yield
    return "result"


def test_work_that_is_done_at_once_goes_through_all_steps() -> None:
    done: list[str] = []
    assert at_once(steps(done)) == "result"
    assert done == ["step 0", "step 1", "step 2"]


def test_work_in_turns_lets_others_come_in_after_each_step() -> None:
    done: list[str] = []

    async def other() -> None:
        for _ in range(3):
            done.append("other")
            await asyncio.sleep(0)

    async def main() -> str:
        others = asyncio.create_task(other())
        result = await in_turns(steps(done))
        await others
        return result

    assert asyncio.run(main()) == "result"
    assert done == ["step 0", "other", "step 1", "other", "step 2", "other"]
