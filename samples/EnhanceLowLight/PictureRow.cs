namespace EnhanceLowLight;

/// <summary>A picture's file.</summary>
internal sealed class PictureRow
{
    public string Image { get; set; } = "";
}
