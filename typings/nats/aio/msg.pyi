from nats.aio.client import Client

class Msg:
    subject: str
    reply: str
    data: bytes
    headers: dict[str, str] | None

    def __init__(
        self,
        _client: Client,
        subject: str = "",
        reply: str = "",
        data: bytes = b"",
        headers: dict[str, str] | None = None,
        _metadata: object = None,
        _ackd: bool = False,
        _sid: int | None = None,
    ) -> None: ...
    async def respond(self, data: bytes) -> None: ...
