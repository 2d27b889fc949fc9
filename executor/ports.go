package executor

// PortTypes returns the typename of each input and each output that the program declares, for
// comparison with its progdef.
func (p Program) PortTypes() (inputs, outputs map[string]string) {
	inputs, outputs = make(map[string]string), make(map[string]string)
	for _, port := range p.Ports {
		if port.isInput() {
			inputs[port.portName()] = port.typename()
		} else {
			outputs[port.portName()] = port.typename()
		}
	}
	return inputs, outputs
}
