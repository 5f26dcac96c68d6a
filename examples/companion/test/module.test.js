// The module against a running gateway, in a stand-in for Companion. Run it with:
// tests/clients.sh companion

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { validateManifest } from '@companion-module/base/manifest'
import PolyRoom from '../src/main.js'
import { Room } from '../src/room.js'
import { variableValues } from '../src/variables.js'

const { CONTROL, GATEWAY, HTTP_PORT, TLS_HTTP_PORT, TOKEN } = process.env
assert(CONTROL, 'run it with tests/clients.sh')

/** What a module can ask of Companion, as far as this one does. */
class Companion {
	_isInstanceContext = true
	id = 'test'
	label = 'room'
	variables = {}
	updateStatus = (status, message) => (this.status = { status, message })
	setActionDefinitions = (actions) => (this.actions = actions)
	setFeedbackDefinitions = (feedbacks) => (this.feedbacks = feedbacks)
	setVariableDefinitions = (definitions) => (this.definitions = definitions)
	setPresetDefinitions = (structure, buttons) => Object.assign(this, { structure, buttons })
	setVariableValues = (values) => {
		for (const id of Object.keys(values)) assert(this.definitions[id], `${id} is no variable`)
		Object.assign(this.variables, values)
	}
	checkAllFeedbacks = () => (this.checked = this.lit())
	saveConfig = () => assert.fail()

	/** The feedbacks that hold. */
	lit() {
		const ids = Object.keys(this.feedbacks)
		return ids.filter((id) => this.feedbacks[id].callback({ feedbackId: id, options: {} }))
	}

	async press(id, part = 'down') {
		for (const { actionId, options } of this.buttons[id].steps[0][part]) await this.run(actionId, options)
	}

	run(id, options = {}) {
		return this.actions[id].callback({ actionId: id, options })
	}
}

const companion = new Companion()
const module = new PolyRoom(companion)
const config = { host: '127.0.0.1', port: HTTP_PORT, room: '1', tls: false }

const person = (what) => fetch(`${CONTROL}/${what}`, { method: 'POST' })
const device = async () => (await fetch(`${CONTROL}/state`)).json()
const gateway = (what) => execFileSync(GATEWAY, [what], { stdio: 'ignore' })
async function until(holds) {
	const deadline = Date.now() + 60_000
	while (!(await holds())) {
		assert(Date.now() < deadline, `never came: ${holds} ${JSON.stringify([companion.status, companion.variables])}`)
		await sleep(20)
	}
}
const shows = (id, value) => until(() => companion.variables[id] === value)
const lights = (id) => until(() => companion.checked?.includes(id))
const dark = (id) => until(() => !companion.checked?.includes(id))

before(() => module.init(config, true, { token: TOKEN }))
after(() => module.destroy())

test('the manifest is one', () => {
	const manifest = JSON.parse(readFileSync(new URL('../companion/manifest.json', import.meta.url)))
	validateManifest(manifest, true)
})

test('a button asks only for what there is', () => {
	const ids = companion.structure.flatMap(({ definitions }) => definitions)
	assert.deepEqual(ids.toSorted(), Object.keys(companion.buttons).toSorted())
	for (const { steps, feedbacks, style } of Object.values(companion.buttons)) {
		for (const { actionId, options } of [...steps[0].down, ...steps[0].up]) {
			const known = companion.actions[actionId].options.map(({ id }) => id)
			assert.deepEqual(Object.keys(options), known, actionId)
		}
		for (const { feedbackId } of feedbacks) assert(companion.feedbacks[feedbackId], feedbackId)
		for (const [, id] of style.text.matchAll(/\$\(room:(\w+)\)/g)) assert(companion.definitions[id], id)
	}
})

test('it comes online and knows the states', async () => {
	await shows('availability', 'online')
	assert.equal(companion.status.status, 'ok')
	await lights('online')
	await shows('volume', 62)
	await shows('call_state', 'idle')
	await shows('problem', '')
	await shows('current_meeting', 'Stand-up')
})

test('mute, from the button and from the room', async () => {
	await companion.press('mute')
	assert((await device()).audio.muted)
	await lights('muted')
	await person('mute?on=false')
	await dark('muted')
	await companion.run('mute', { on: 'true' })
	await lights('muted')
	await companion.run('mute', { on: 'false' })
	await dark('muted')
	await companion.press('video_mute')
	await lights('video_muted')
	assert((await device()).video_muted)
})

test('volume', async () => {
	await companion.run('volume_set', { volume: 40 })
	assert.equal((await device()).audio.volume, 40)
	await companion.press('volume_up')
	await shows('volume', 45)
	await companion.press('volume_down')
	await shows('volume', 40)
	await Promise.all(Array.from({ length: 30 }, (_, volume) => companion.run('volume_set', { volume })))
	await shows('volume', 29)
	assert.equal(companion.variables.last_error, '')
})

test('camera', async () => {
	await companion.press('preset_3')
	assert.equal((await device()).cameras.active_preset, 3)
	await companion.run('preset_activate_name', { name: 'Whole table' })
	assert.equal((await device()).cameras.active_preset, 1)
	await companion.run('preset_activate_name', { name: 'Whole' })
	assert.match(companion.variables.last_error, /"Whole table", "Lectern"/)
	await shows('preset_3', 'Lectern')
	await shows('preset_2', '2')
	await companion.run('preset_store', { preset: 7 })
	assert((await device()).cameras.stored[6])
	await companion.press('camera_left')
	assert((await device()).cameras.moving)
	await companion.press('camera_left', 'up')
	assert.equal((await device()).cameras.moving, null)
})

test('calls', async () => {
	await companion.run('dial', { address: 'alice@example.com' })
	await shows('call_state', 'dialing')
	await person('answer')
	await lights('in_call')
	await companion.press('hang_up')
	await dark('in_call')
	await person('ring?from=bob@example.com')
	await lights('ringing')
	await companion.press('answer')
	await lights('in_call')
	await companion.press('hang_up')
	await person('ring?from=bob@example.com')
	await lights('ringing')
	await companion.press('reject')
	await shows('call_state', 'idle')
	const before = (await device()).dialled.length
	await companion.press('join_next')
	await until(async () => (await device()).dialled.length === before + 1)
	await companion.press('hang_up')
	await shows('call_count', 0)
})

test('meetings', async () => {
	await shows('next_meeting', 'Planning')
	assert.match(companion.variables.next_meeting_start, /^\d\d:\d\d$/)
	assert.match(companion.variables.current_meeting_start, /^\d\d:\d\d$/)
	await lights('meeting_now')
	await dark('in_meeting')
	await companion.press('join_current')
	await lights('in_meeting')
	assert((await device()).dialled.some((call) => JSON.stringify(call).includes('standup@example.com')))
	await companion.press('hang_up')
	await dark('in_meeting')
})

test('words for meetings and checks', () => {
	const room = new Room({ host: 'x', port: 1, room: '1' }, () => {})
	const at = new Date(2026, 4, 4, 12, 5).getTime()
	const told = (states) => {
		room.state = (topic) => states[topic]
		return variableValues(room)
	}
	for (const [meeting, subject, start] of [
		[undefined, '', ''],
		['none', '', ''],
		[null, '', ''],
		[{ subject: 'Planning', startTime: at / 1000 }, 'Planning', '12:05'],
		[{ subject: '', startTime: at }, 'No subject', '12:05'],
		[{ subject: 'A "quoted" one', startTime: String(at / 1000) }, 'A "quoted" one', '12:05'],
		[{ startTime: 'soon' }, 'No subject', ''],
	]) {
		const values = told({ 'calendar/next': meeting })
		assert.deepEqual([values.next_meeting, values.next_meeting_start], [subject, start])
	}
	const checks = [{ ok: true, message: 'in' }, { ok: false, message: 'no "camera"' }, null, { ok: false, message: 'no mic' }]
	assert.equal(told({ readiness: { ok: false, checks } }).readiness, 'no "camera"; no mic')
	assert.equal(told({ readiness: 7 }).readiness, '')
	assert.equal(told({ 'call/last': 'none' }).last_call, '')
	assert.equal(told({ 'call/last': { name: null, address: 'a@b' } }).last_call, 'a@b')
})

test('the last call, the provider, and a check of the room', async () => {
	await person('ring?from=dave@example.com')
	await lights('ringing')
	await companion.press('reject')
	await until(() => companion.variables.last_call === 'dave')
	assert.notEqual(companion.variables.last_call_outcome, 'answered')
	assert.notEqual(companion.variables.provider, '')
	await companion.press('check_room')
	// A meeting that begins soon is a reason not to check.
	await until(() => companion.checked.some((id) => ['ready', 'not_ready'].includes(id)) || companion.variables.last_error)
})

test('over TLS', { skip: !TLS_HTTP_PORT && 'needs openssl' }, async () => {
	await module.configUpdated({ ...config, port: TLS_HTTP_PORT, tls: true }, { token: TOKEN })
	await until(() => companion.status.status === 'ok')
	await companion.run('mute', { on: 'true' })
	await lights('muted')
	await companion.run('mute', { on: 'false' })
	await dark('muted')
	await module.configUpdated(config, { token: TOKEN })
	await until(() => companion.status.status === 'ok')
})

test('any command, and why one failed', async () => {
	await companion.run('raw', { command: 'camera/tracking/set', payload: 'on' })
	assert((await device()).cameras.tracking)
	await companion.run('raw', { command: 'audio/volume/set', payload: 'loud' })
	assert.match(companion.variables.last_error, /0 to 100/)
	await companion.run('raw', { command: 'camera/stop', payload: '' })
	assert.equal(companion.variables.last_error, '')
})

test('the gateway restarts', async () => {
	gateway('stop')
	await shows('availability', 'offline')
	assert.equal(companion.status.status, 'connection_failure')
	await companion.run('mute', { on: 'true' })
	assert.notEqual(companion.variables.last_error, '')
	gateway('start')
	await shows('availability', 'online')
	await shows('volume', 29)
	assert.equal(companion.status.status, 'ok')
})

test('a gateway that says nothing is found out', async () => {
	gateway('freeze')
	await until(() => companion.status.message === 'the gateway does not answer')
	gateway('thaw')
	await shows('availability', 'online')
})

test('what is configured wrongly is said', async () => {
	await module.configUpdated({ ...config, room: 'nowhere' }, { token: TOKEN })
	await until(() => companion.status.message?.includes('no room "nowhere"'))
	await module.configUpdated(config, { token: 'wrong' })
	await until(() => companion.status.message?.includes('token'))
	await module.configUpdated({ ...config, host: '' }, {})
	assert.equal(companion.status.status, 'bad_config')
	await module.configUpdated(config, { token: TOKEN })
	await until(() => companion.status.status === 'ok')
})
