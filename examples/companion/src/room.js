// A room behind a poly2mqtt gateway, over WebSocket. Knows nothing of Companion.

/** What is subscribed to. */
const STATES = [
	'availability',
	'problem',
	'audio/muted',
	'audio/volume',
	'video/muted',
	'camera/presets/names',
	'call/state',
	'call/count',
	'call/in_meeting',
	'call/last',
	'calendar/current',
	'calendar/next',
	'readiness',
	'system/mode',
]

const SILENCE = 10_000
const FIRST_WAIT = 1_000
const LONGEST_WAIT = 30_000

export class Room {
	#address
	#id
	#changed
	#socket
	#states = new Map()
	#asked = new Map()
	#last = 0
	#wait = FIRST_WAIT
	#retry
	#watch
	#linked = false
	#trouble = 'connecting'

	/**
	 * @param at `{host, port, tls, token, room}`
	 * @param changed called with a state's topic after each change, and without one when the gateway
	 * comes or goes
	 */
	constructor({ host, port, tls, token, room }, changed) {
		const query = token ? `?token=${encodeURIComponent(token)}` : ''
		const name = host.includes(':') ? `[${host}]` : host
		this.#address = `${tls ? 'wss' : 'ws'}://${name}:${port}/ws${query}`
		this.#id = room
		this.#changed = changed
	}

	/** Connects, and again whenever the connection is lost, until it is closed. */
	connect() {
		let socket
		try {
			socket = new WebSocket(this.#address)
		} catch (error) {
			this.#trouble = `that is no address: ${error.message}`
			return this.#changed()
		}
		this.#socket = socket
		let heard = false
		// A socket that was given up has nothing more to say.
		const on = (event, handler) => {
			socket.addEventListener(event, (what) => socket === this.#socket && handler(what))
		}
		on('open', () => {
			heard = true
			const subscribe = STATES.map((state) => `room/${this.#id}/${state}`)
			this.#send({ id: 'all', subscribe })
		})
		on('message', ({ data }) => {
			heard = true
			this.#wait = FIRST_WAIT
			if (typeof data === 'string') this.#received(JSON.parse(data))
		})
		on('close', ({ reason }) => this.#lost(reason || 'the gateway cannot be reached'))
		on('error', () => this.#lost('the gateway cannot be reached'))
		// Finds a connection that died without a word.
		this.#watch = setInterval(() => {
			if (!heard) return this.#lost('the gateway does not answer')
			heard = false
			if (this.#linked) this.#send({ ping: true })
		}, SILENCE)
	}

	/** Ends it. */
	close() {
		this.#drop('the connection was closed')
		clearTimeout(this.#retry)
	}

	/** The device's word on a state; undefined while it is not known. */
	state(topic) {
		return this.#states.get(topic)
	}

	/** Whether gateway and device are there, so that the states are fresh. */
	get online() {
		return this.#linked && this.state('availability') === 'online'
	}

	/** What is wrong, for a person; empty for nothing. */
	get problem() {
		if (!this.#linked) return this.#trouble
		if (!this.state('availability')) return `the gateway shows no room "${this.#id}" to this token`
		const problem = this.state('problem')
		if (problem && problem.code !== 'none') return problem.message
		return this.online ? '' : 'offline'
	}

	/** A meeting of the calendar: `{subject, start}`, its start as a date; undefined for none. */
	meeting(topic) {
		const meeting = this.state(topic)
		if (meeting === null || typeof meeting !== 'object') return undefined
		const start = Number(meeting.startTime)
		// Some firmware has milliseconds.
		const milliseconds = start > 100_000_000_000 ? start : start * 1000
		return { subject: meeting.subject || 'No subject', start: new Date(milliseconds) }
	}

	/** What the newest check of the room found wrong, for a person; empty for nothing. */
	get unready() {
		const checks = this.state('readiness')?.checks
		if (!Array.isArray(checks)) return ''
		return checks
			.filter((check) => check?.ok === false)
			.map(({ message }) => message)
			.join('; ')
	}

	/** The name of a camera preset, or its number where it has none. */
	presetName(number) {
		return this.state('camera/presets/names')?.[number] ?? String(number)
	}

	/** Sends a command. Gives the device's answer, or throws why it failed. */
	command(command, payload) {
		if (!this.#linked) return Promise.reject(new Error(this.problem))
		return new Promise((resolve, reject) => {
			const id = ++this.#last
			this.#asked.set(id, { resolve, reject })
			this.#send({ id, topic: `room/${this.#id}/${command}`, payload })
		})
	}

	#send(frame) {
		this.#socket.send(JSON.stringify(frame))
	}

	#received({ id, topic, payload, error }) {
		if (id === 'all') {
			// All states were told before this.
			this.#linked = true
			this.#changed()
		} else if (this.#asked.has(id)) {
			const { resolve, reject } = this.#asked.get(id)
			this.#asked.delete(id)
			const failure = error ?? payload.error
			if (failure) reject(Object.assign(new Error(failure.message), { code: failure.code }))
			else resolve(payload.body)
		} else if (topic?.startsWith(`room/${this.#id}/`)) {
			const name = topic.slice(`room/${this.#id}/`.length)
			if (payload === null) this.#states.delete(name)
			else this.#states.set(name, payload)
			if (this.#linked) this.#changed(name)
		}
	}

	#drop(why) {
		clearInterval(this.#watch)
		const socket = this.#socket
		this.#socket = undefined
		socket?.close()
		this.#linked = false
		this.#states.clear()
		this.#trouble = why
		for (const { reject } of this.#asked.values()) reject(new Error(why))
		this.#asked.clear()
	}

	#lost(why) {
		this.#drop(why)
		this.#changed()
		this.#retry = setTimeout(() => this.connect(), this.#wait)
		this.#wait = Math.min(this.#wait * 2, LONGEST_WAIT)
	}
}
