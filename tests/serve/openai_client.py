"""OpenAI's Python client against a running server: prints what it got as JSON. Usage: openai_client.py URL < requests.json

The requests are the keyword arguments of `completions.create`. Each is made whole, streamed, and as a chat; all at once.
"""
import asyncio
import json
import sys

import openai


async def main() -> None:
    client = openai.AsyncOpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)

    async def whole(request: dict) -> dict:
        answer = await client.completions.create(**request)
        return {"text": answer.choices[0].text, "tokens": answer.usage.completion_tokens}

    async def streamed(request: dict) -> str:
        stream = await client.completions.create(**request, stream=True)
        return "".join([chunk.choices[0].text async for chunk in stream if chunk.choices])

    async def chat(request: dict) -> str:
        messages = [{"role": "user", "content": request["prompt"]}]
        rest = {name: value for name, value in request.items() if name != "prompt"}
        answer = await client.chat.completions.create(messages=messages, **rest)
        return answer.choices[0].message.content

    requests = json.load(sys.stdin)
    results = await asyncio.gather(*[f(r) for f in (whole, streamed, chat) for r in requests])
    n = len(requests)
    models = [model.id async for model in client.models.list()]
    try:
        await client.completions.create(model="nobody", prompt="a")
        refused = "nothing"
    except openai.NotFoundError as error:
        refused = error.code
    answers = {"whole": results[:n], "streamed": results[n:2 * n], "chat": results[2 * n:]}
    print(json.dumps({**answers, "models": models, "refused": refused, "version": openai.__version__}))


asyncio.run(main())
