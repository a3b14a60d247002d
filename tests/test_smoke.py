import asyncio
from chanstream import Channel

async def test_x() -> None:
    c: Channel[int] = Channel()
    async def p() -> None:
        async with c.sender as it:
            for i in range(5): await it(i)
    t = asyncio.create_task(p())
    assert [x async for x in c.receiver] == [0,1,2,3,4]
    await t
def test_sync() -> None: pass
