package v1alpha1

// GetObjectStatus returns the common part of the status, to be changed in place.
func (o *CryptoDevice) GetObjectStatus() *ObjectStatus          { return &o.Status.ObjectStatus }
func (o *IndustryCA) GetObjectStatus() *ObjectStatus            { return &o.Status.ObjectStatus }
func (o *BusinessCA) GetObjectStatus() *ObjectStatus            { return &o.Status.ObjectStatus }
func (o *CertificateProfile) GetObjectStatus() *ObjectStatus    { return &o.Status.ObjectStatus }
func (o *RegistrationAuthority) GetObjectStatus() *ObjectStatus { return &o.Status.ObjectStatus }
func (o *CertificateRequest) GetObjectStatus() *ObjectStatus    { return &o.Status.ObjectStatus }
func (o *ValidationService) GetObjectStatus() *ObjectStatus     { return &o.Status.ObjectStatus }

// GetStatus returns a pointer to the whole status.
func (o *CryptoDevice) GetStatus() any          { return &o.Status }
func (o *IndustryCA) GetStatus() any            { return &o.Status }
func (o *BusinessCA) GetStatus() any            { return &o.Status }
func (o *CertificateProfile) GetStatus() any    { return &o.Status }
func (o *RegistrationAuthority) GetStatus() any { return &o.Status }
func (o *CertificateRequest) GetStatus() any    { return &o.Status }
func (o *ValidationService) GetStatus() any     { return &o.Status }
