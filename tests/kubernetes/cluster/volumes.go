//go:build linux

package cluster

import (
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// provisioner names the only storage class, which is the default.
const provisioner = "dagyo.test/directory"

func addStorageClass(ctx context.Context, client kubernetes.Interface) error {
	_, err := client.StorageV1().StorageClasses().Create(ctx, &storagev1.StorageClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "directory",
			Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"},
		},
		Provisioner: provisioner,
	}, metav1.CreateOptions{})
	return err
}

// provision creates the volume of a claim: a directory on the real node, which exists as long as the cluster. As on any
// disk, only root may write to it unless the pod has an fsGroup.
func provision(ctx context.Context, client kubernetes.Interface, claim *corev1.PersistentVolumeClaim) error {
	const asked = "volume.kubernetes.io/storage-provisioner"
	if claim.Annotations[asked] != provisioner || claim.Spec.VolumeName != "" {
		return nil
	}
	dir := path("volumes", string(claim.UID))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	_, err := client.CoreV1().PersistentVolumes().Create(ctx, &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "directory-" + string(claim.UID)},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName:              *claim.Spec.StorageClassName,
			Capacity:                      claim.Spec.Resources.Requests,
			AccessModes:                   claim.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimRetain,
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: dir}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{
					{Key: NodeLabel, Operator: corev1.NodeSelectorOpIn, Values: []string{Real}},
				}}},
			}},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
		},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("provision claim %s of namespace %s: %w", claim.Name, claim.Namespace, err)
	}
	return nil
}
