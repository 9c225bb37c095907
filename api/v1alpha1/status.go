package v1alpha1

// GetObjectStatus returns the common part of the status, to be changed in place.
func (o *CryptoDevice) GetObjectStatus() *ObjectStatus          { return &o.Status.ObjectStatus }
func (o *IndustryCA) GetObjectStatus() *ObjectStatus            { return &o.Status.ObjectStatus }
func (o *BusinessCA) GetObjectStatus() *ObjectStatus            { return &o.Status.ObjectStatus }
func (o *CertificateProfile) GetObjectStatus() *ObjectStatus    { return &o.Status.ObjectStatus }
func (o *RegistrationAuthority) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }
func (o *CertificateRequest) GetObjectStatus() *ObjectStatus    { return &o.Status.ObjectStatus }
func (o *ValidationService) GetObjectStatus() *ObjectStatus     { return &o.Status.ObjectStatus }
func (o *Tier) GetObjectStatus() *ObjectStatus                  { return &o.Status.ObjectStatus }
func (o *Approval) GetObjectStatus() *ObjectStatus              { return &o.Status.ObjectStatus }
func (o *CertificateRevocation) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }
func (o *Directory) GetObjectStatus() *ObjectStatus             { return &o.Status.ObjectStatus }

// GetStatus returns a pointer to the whole status.
func (o *CryptoDevice) GetStatus() any          { return &o.Status }
func (o *IndustryCA) GetStatus() any            { return &o.Status }
func (o *BusinessCA) GetStatus() any            { return &o.Status }
func (o *CertificateProfile) GetStatus() any    { return &o.Status }
func (o *RegistrationAuthority) GetStatus() any { return &o.Status }
func (o *CertificateRequest) GetStatus() any    { return &o.Status }
func (o *ValidationService) GetStatus() any     { return &o.Status }
func (o *Tier) GetStatus() any                  { return &o.Status }
func (o *Approval) GetStatus() any              { return &o.Status }
func (o *CertificateRevocation) GetStatus() any { return &o.Status }
func (o *Directory) GetStatus() any             { return &o.Status }

// GetTierRef returns the Tier that an object of a kind with spec.tierRef belongs to, or nil.
func (o *CryptoDevice) GetTierRef() *LocalObjectReference          { return o.Spec.TierRef }
func (o *IndustryCA) GetTierRef() *LocalObjectReference            { return o.Spec.TierRef }
func (o *BusinessCA) GetTierRef() *LocalObjectReference            { return o.Spec.TierRef }
func (o *RegistrationAuthority) GetTierRef() *LocalObjectReference { return o.Spec.TierRef }
func (o *ValidationService) GetTierRef() *LocalObjectReference     { return o.Spec.TierRef }
func (o *Directory) GetTierRef() *LocalObjectReference             { return o.Spec.TierRef }

// GetDeletionPolicy returns spec.deletionPolicy of the kinds that a Tier has for members.
func (o *CryptoDevice) GetDeletionPolicy() DeletionPolicy          { return o.Spec.DeletionPolicy }
func (o *IndustryCA) GetDeletionPolicy() DeletionPolicy            { return o.Spec.DeletionPolicy }
func (o *BusinessCA) GetDeletionPolicy() DeletionPolicy            { return o.Spec.DeletionPolicy }
func (o *RegistrationAuthority) GetDeletionPolicy() DeletionPolicy { return o.Spec.DeletionPolicy }
func (o *ValidationService) GetDeletionPolicy() DeletionPolicy     { return o.Spec.DeletionPolicy }
func (o *Directory) GetDeletionPolicy() DeletionPolicy             { return o.Spec.DeletionPolicy }
