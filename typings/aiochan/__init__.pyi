from aiochan.channel import Chan as Chan
