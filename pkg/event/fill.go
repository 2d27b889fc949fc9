package event

import "reflect"

// filled returns v with an empty list or object in place of each nil one, at any depth: the schemas do
// not allow null, so that readers in other languages need not handle it. v itself is never changed; parts
// without nil are not copied.
func filled(v any) any {
	out, _ := fill(reflect.ValueOf(v))
	return out.Interface()
}

// fill returns the value and whether it differs from v.
func fill(v reflect.Value) (reflect.Value, bool) {
	if !mayHoldNil(v.Type()) {
		return v, false
	}
	switch v.Kind() {
	case reflect.Pointer:
		return fillPointer(v)
	case reflect.Struct:
		return fillStruct(v)
	case reflect.Slice:
		return fillSlice(v)
	default:
		return fillMap(v)
	}
}

// mayHoldNil reports whether values of a payload's type may contain a list or object. Bytes are text in
// JSON.
func mayHoldNil(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Map:
		return true
	case reflect.Slice:
		return t.Elem().Kind() != reflect.Uint8
	case reflect.Pointer:
		return mayHoldNil(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && mayHoldNil(f.Type) {
				return true
			}
		}
	}
	return false
}

func fillPointer(v reflect.Value) (reflect.Value, bool) {
	if v.IsNil() {
		return v, false
	}
	elem, changed := fill(v.Elem())
	if !changed {
		return v, false
	}
	out := reflect.New(v.Type().Elem())
	out.Elem().Set(elem)
	return out, true
}

func fillStruct(v reflect.Value) (reflect.Value, bool) {
	out, changed := v, false
	for i := range v.NumField() {
		if !v.Type().Field(i).IsExported() {
			continue
		}
		field, differs := fill(v.Field(i))
		if differs && !changed {
			out, changed = reflect.New(v.Type()).Elem(), true
			out.Set(v)
		}
		if differs {
			out.Field(i).Set(field)
		}
	}
	return out, changed
}

func fillSlice(v reflect.Value) (reflect.Value, bool) {
	if v.IsNil() {
		return reflect.MakeSlice(v.Type(), 0, 0), true
	}
	out, changed := v, false
	for i := range v.Len() {
		elem, differs := fill(v.Index(i))
		if differs && !changed {
			out, changed = reflect.MakeSlice(v.Type(), v.Len(), v.Len()), true
			reflect.Copy(out, v)
		}
		if differs {
			out.Index(i).Set(elem)
		}
	}
	return out, changed
}

func fillMap(v reflect.Value) (reflect.Value, bool) {
	if v.IsNil() {
		return reflect.MakeMap(v.Type()), true
	}
	if !mayHoldNil(v.Type().Elem()) {
		return v, false
	}
	out, changed := reflect.MakeMapWithSize(v.Type(), v.Len()), false
	for i := v.MapRange(); i.Next(); {
		elem, differs := fill(i.Value())
		changed = changed || differs
		out.SetMapIndex(i.Key(), elem)
	}
	return out, changed
}
