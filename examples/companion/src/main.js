// The connection as Companion sees it: configuration, and what ties a room to buttons.

import { InstanceBase, InstanceStatus, Regex } from '@companion-module/base'
import { actions } from './actions.js'
import { feedbacks } from './feedbacks.js'
import { presets } from './presets.js'
import { Room } from './room.js'
import { variableDefinitions, variableValues } from './variables.js'

export const UpgradeScripts = []

export default class PolyRoom extends InstanceBase {
	#room

	async init(config, _isFirstInit, secrets) {
		this.setActionDefinitions(actions((command, payload) => this.#send(command, payload)))
		this.setFeedbackDefinitions(feedbacks(() => this.#room))
		this.setVariableDefinitions(variableDefinitions)
		await this.configUpdated(config, secrets)
	}

	async configUpdated(config, secrets) {
		await this.destroy()
		const { structure, buttons } = presets(this.label)
		this.setPresetDefinitions(structure, buttons)
		if (!config.host || !config.room) {
			return this.updateStatus(InstanceStatus.BadConfig, 'the gateway and the room must be set')
		}
		this.updateStatus(InstanceStatus.Connecting)
		this.#room = new Room({ ...config, token: secrets?.token }, () => this.#show())
		this.#room.connect()
	}

	async destroy() {
		this.#room?.close()
		this.#room = undefined
	}

	getConfigFields() {
		return [
			{ id: 'host', type: 'textinput', label: 'Gateway', width: 8, default: '' },
			{ id: 'port', type: 'textinput', label: 'HTTP port', width: 4, default: '8080', regex: Regex.PORT },
			{ id: 'room', type: 'textinput', label: "The room's id in the gateway's configuration", width: 8, default: '1' },
			{ id: 'tls', type: 'checkbox', label: 'Encrypted (wss)', width: 4, default: false },
			{
				id: 'exposed',
				type: 'static-text',
				label: 'Without encryption',
				width: 12,
				value: 'The token goes through the network in clear: whoever listens there can read it.',
				isVisibleExpression: '!$(options:tls)',
			},
			{ id: 'token', type: 'secret-text', label: 'Token, if the gateway wants one', width: 12 },
		]
	}

	#show() {
		const room = this.#room
		if (room.online) this.updateStatus(InstanceStatus.Ok)
		else this.updateStatus(InstanceStatus.ConnectionFailure, room.problem)
		this.setVariableValues(variableValues(room))
		this.checkAllFeedbacks()
	}

	async #send(command, payload) {
		let problem = ''
		try {
			if (!this.#room) throw new Error('the connection is not configured')
			await this.#room.command(command, payload)
		} catch (error) {
			// What a newer command has made pointless is no failure.
			if (error.code === 'superseded') return
			problem = error.message
			this.log('warn', `${command}: ${problem}`)
		}
		this.setVariableValues({ last_error: problem })
	}
}
